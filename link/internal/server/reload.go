package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/reload"
	"github.com/lsm/fiso/link/internal/credential"
	"github.com/lsm/fiso/link/spec"
)

// follow returns the follower of the configuration file. It polls, because reading one
// small file is cheap.
func follow(o Options) *reload.Follower[*spec.Config] {
	return reload.New(reload.Options[*spec.Config]{
		List: func(context.Context) ([]string, error) { return []string{o.File}, nil },
		Load: load, Poll: o.PollInterval, Debounce: o.PollInterval, Logger: o.Logger,
	})
}

// load parses the file.
func load(_ context.Context, f reload.File) (l reload.Loaded[*spec.Config]) {
	if f.Err != nil {
		l.Err = fmt.Errorf("read the configuration: %w", f.Err)
		return l
	}
	l.Texts = map[string]string{}
	l.Value, l.Err = spec.Parse(f.Path, f.Data, config.Reading(func(path, text string) {
		l.Texts[path] = text
	}))
	return l
}

// first loads the file at the start.
func (s *Server) first() (*spec.Config, error) {
	c := s.files.First(context.Background()).Changes[0]
	if e, ok := errors.AsType[*fs.PathError](c.Err); ok && e.Path == s.o.File && errors.Is(e, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: name the configuration file as an argument or with FISO_LINK_CONFIG", s.o.File)
	}
	return c.Value, c.Err
}

// apply applies the changes of the file.
func (s *Server) apply(look reload.Look[*spec.Config]) {
	for _, c := range look.Changes {
		err := c.Err
		if err == nil {
			err = s.replace(c.Value)
		}
		if s.setFault(err) {
			continue // already reported
		}
		if err != nil {
			s.metrics.reloads.WithLabelValues("failure").Inc()
			s.o.Logger.Error("configuration rejected", "error", err)
			continue
		}
		s.metrics.reloads.WithLabelValues("success").Inc()
		s.o.Logger.Info("configuration reloaded", "targets", len(c.Value.Targets))
		if s.needsRestart(c.Value) {
			s.o.Logger.Warn("restart needed", "keys", "listenAddr, metricsAddr, allowedHosts, allowedOrigins, maxConnections, maxHeaderBytes, vault")
		}
	}
}

// replace applies a configuration, or on an error changes nothing.
func (s *Server) replace(c *spec.Config) (err error) {
	if s.vault == nil && c.Vault != nil {
		if s.vault, err = credential.NewVault(c.Vault, credential.Parts{Log: s.o.Logger}); err != nil {
			return err
		}
	}
	if err := s.targets.replace(c, s.vault); err != nil {
		return err
	}
	s.bodiesMayPause(c)
	return nil
}

// setFault records what is wrong with the file, and reports whether it is the same as
// before.
func (s *Server) setFault(err error) (same bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same = err != nil && s.fault != nil && err.Error() == s.fault.Error()
	s.fault = err
	return same
}

// bodiesMayPause sets how long a body may pause at both listeners.
func (s *Server) bodiesMayPause(c *spec.Config) {
	s.server.BodiesMayPause(longestIdle(c))
	s.http2.BodiesMayPause(longestIdle(c))
}

// longestIdle returns the longest timeouts.idle of all targets.
func longestIdle(c *spec.Config) (most time.Duration) {
	for i := range c.Targets {
		most = max(most, c.Targets[i].Timeouts.Idle)
	}
	return most
}

// needsRestart reports whether a setting changed that is read only at the start.
func (s *Server) needsRestart(c *spec.Config) bool {
	old := s.cfg
	return c.ListenAddr != old.ListenAddr && s.o.ListenAddr == "" || c.MetricsAddr != old.MetricsAddr && s.o.MetricsAddr == "" ||
		!slices.Equal(c.AllowedHosts, old.AllowedHosts) || !slices.Equal(c.AllowedOrigins, old.AllowedOrigins) ||
		c.MaxConnections != old.MaxConnections || c.MaxHeaderBytes != old.MaxHeaderBytes || old.Vault != nil && !reflect.DeepEqual(c.Vault, old.Vault)
}
