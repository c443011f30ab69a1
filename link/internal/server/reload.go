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

// follow makes what follows the configuration file. One file costs next to
// nothing to read, so it is polled, and no watch of the system is taken up.
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

// first loads the file for the start.
func (i *Server) first() (*spec.Config, error) {
	c := i.files.First(context.Background()).Changes[0]
	if e, ok := errors.AsType[*fs.PathError](c.Err); ok && e.Path == i.o.File && errors.Is(e, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: name the configuration file as an argument or with FISO_LINK_CONFIG", i.o.File)
	}
	return c.Value, c.Err
}

// apply takes a changed file over.
func (i *Server) apply(look reload.Look[*spec.Config]) {
	for _, c := range look.Changes {
		err := c.Err
		if err == nil {
			err = i.replace(c.Value)
		}
		if i.setFault(err) {
			continue // it was said before
		}
		if err != nil {
			i.metrics.reloads.WithLabelValues("failure").Inc()
			i.o.Logger.Error("the configuration is not valid: all goes on as it was", "error", err)
			continue
		}
		i.metrics.reloads.WithLabelValues("success").Inc()
		i.o.Logger.Info("the configuration is reloaded", "targets", len(c.Value.Targets))
		if i.needsStart(c.Value) {
			i.o.Logger.Warn("targets are reloaded; listenAddr, metricsAddr, allowedHosts, allowedOrigins, maxConnections, maxHeaderBytes and a changed vault count from the next start")
		}
	}
}

// replace puts a configuration in force, or changes nothing.
func (i *Server) replace(c *spec.Config) (err error) {
	if i.vault == nil && c.Vault != nil {
		if i.vault, err = credential.NewVault(c.Vault, credential.Parts{Log: i.o.Logger}); err != nil {
			return err
		}
	}
	if err := i.targets.replace(c, i.vault); err != nil {
		return err
	}
	i.bodiesMayPause(c)
	return nil
}

// setFault records what is wrong with the file, and reports whether the same was
// wrong before.
func (i *Server) setFault(err error) (same bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	same = err != nil && i.fault != nil && err.Error() == i.fault.Error()
	i.fault = err
	return same
}

// bodiesMayPause tells both listeners how long a body may rest.
func (i *Server) bodiesMayPause(c *spec.Config) {
	i.server.BodiesMayPause(longestIdle(c))
	i.http2.BodiesMayPause(longestIdle(c))
}

// longestIdle is how long a stream of some target may pause.
func longestIdle(c *spec.Config) (most time.Duration) {
	for i := range c.Targets {
		most = max(most, c.Targets[i].Timeouts.Idle)
	}
	return most
}

// needsStart reports whether a configuration changes what is read once.
func (i *Server) needsStart(c *spec.Config) bool {
	old := i.cfg
	return c.ListenAddr != old.ListenAddr && i.o.ListenAddr == "" || c.MetricsAddr != old.MetricsAddr && i.o.MetricsAddr == "" ||
		!slices.Equal(c.AllowedHosts, old.AllowedHosts) || !slices.Equal(c.AllowedOrigins, old.AllowedOrigins) ||
		c.MaxConnections != old.MaxConnections || c.MaxHeaderBytes != old.MaxHeaderBytes || old.Vault != nil && !reflect.DeepEqual(c.Vault, old.Vault)
}
