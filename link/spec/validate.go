package spec

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Bounds of values in a file. They are wide, to catch a wrong unit or an extra zero.
const (
	maxName       = 63 // DNS-1123 label, so that the name fits Kubernetes objects
	maxAttempts   = 20
	maxTime       = 24 * time.Hour
	maxKeptBody   = 16 << 20 // body bytes kept for another attempt
	maxAsyncBody  = 8 << 20
	maxConcurrent = 1 << 20
	minHead       = 1 << 10
	maxHead       = 1 << 20
)

var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	token     = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110, section 5.6.2
	topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)
)

// Validate checks what concerns several targets.
func (c *Config) Validate() error {
	errs := []error{
		address("listenAddr", c.ListenAddr), address("metricsAddr", c.MetricsAddr),
		duration("drainTimeout", c.DrainTimeout, 0, maxTime), number("maxConnections", c.MaxConnections, 1, maxConcurrent),
		number("maxHeaderBytes", int(c.MaxHeaderBytes), minHead, maxHead),
	}
	errs = append(errs, c.validateBrokers())
	seen := map[string]int{}
	for i := range c.Targets {
		t := &c.Targets[i]
		at := fmt.Sprintf("targets[%d]", i)
		if first, ok := seen[t.Name]; ok && t.Name != "" {
			errs = append(errs, config.Fault(at+".name", "%q is also the name of targets[%d]: the name selects the target in the path, so give each its own", t.Name, first))
		} else {
			seen[t.Name] = i
		}
		if t.UsesKafka() && len(c.AsyncBrokers) == 0 {
			errs = append(errs, config.Fault(at+".name", "this target needs Kafka: name the brokers in asyncBrokers, as in asyncBrokers: [kafka:9092]"))
		}
		if c.Vault == nil {
			for key, ref := range t.Auth.secretRefs() {
				if ref != nil && ref.VaultRef != nil {
					errs = append(errs, config.Fault(at+".auth."+key, "vaultRef needs the block vault at the top of the file, with address and auth"))
				}
			}
			for key, p := range map[string]*Proxy{".proxy": t.Proxy, ".auth.proxy": t.Auth.Proxy} {
				if ref := p.secretRef(); ref != nil && ref.VaultRef != nil {
					errs = append(errs, config.Fault(at+key+".secretRef", "vaultRef needs the block vault at the top of the file, with address and auth"))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// Validate checks one target alone, as a LinkTarget is checked.
func (t *Target) Validate() error {
	errs := []error{
		t.validateName(), t.validatePlace(), t.validateAuth(), t.validateRules(),
		duration("timeout", t.Timeout, time.Millisecond, maxTime), number("maxConcurrent", t.MaxConcurrent, 1, maxConcurrent),
		number("maxResponseHeaderBytes", int(t.MaxAnswerHead), minHead, maxHead),
	}
	if t.Protocol == "kafka" {
		errs = append(errs, t.validateKafka())
	} else if t.Kafka != nil {
		errs = append(errs, config.Fault("kafka", "belongs to protocol: kafka; write that, or remove kafka (async is for calls made later)"))
	}
	return errors.Join(errs...)
}

func (t *Target) validateName() error {
	switch {
	case t.Name == "":
		return nil // reported as missing: required
	case len(t.Name) > maxName || !label.MatchString(t.Name):
		return config.Fault("name", "%q is not a name for a target: use up to 63 lower-case letters, digits and dashes", t.Name)
	}
	return nil
}

// UsesKafka reports whether the target needs asyncBrokers.
func (t *Target) UsesKafka() bool { return t.Async != nil || t.Protocol == "kafka" }

// UsesTLS reports whether connections to the target use TLS: always for https, and for
// grpc if tls is given or the port is 443.
func (t *Target) UsesTLS() bool {
	switch t.Protocol {
	case "https":
		return true
	case "grpc":
		_, port := t.hostPort()
		return !t.TLS.IsZero() || port == 443
	}
	return false
}

// HTTP2 reports whether every call to the target uses HTTP/2.
func (t *Target) HTTP2() bool { return t.Protocol == "h2c" || t.Protocol == "grpc" }

// Address returns the target's host and port, with the default port if none is
// configured.
func (t *Target) Address() (host string, port int) {
	host, port = t.hostPort()
	switch {
	case port != 0:
	case t.UsesTLS():
		port = 443
	default:
		port = 80
	}
	return host, port
}

// hostPort returns the host, and the port if one is given.
func (t *Target) hostPort() (host string, port int) {
	host, port = t.Host, t.Port
	if h, p, err := net.SplitHostPort(t.Host); err == nil {
		host = h
		port, _ = strconv.Atoi(p) // validated
	}
	return strings.Trim(host, "[]"), port
}

func (t *Target) validatePlace() error {
	if t.Protocol == "kafka" {
		return nil
	}
	var errs []error
	switch {
	case t.Host == "":
		errs = append(errs, config.Fault("host", "missing: name the host to call, as in host: api.example.com"))
	case strings.Contains(t.Host, "://"):
		errs = append(errs, config.Fault("host", "%q is a URL; write the host alone, and the rest as protocol and basePath", t.Host))
	case !validHost(t.Host):
		errs = append(errs, config.Fault("host", "%q is not a host: write a name or an address, with or without a port", t.Host))
	case t.Port != 0 && hasPort(t.Host):
		errs = append(errs, config.Fault("port", "host has a port already; keep one of the two"))
	}
	errs = append(errs, number("port", t.Port, 0, 65535))
	if t.SRV != "" && len(t.Endpoints) > 0 {
		errs = append(errs, config.Fault("srv", "srv and endpoints both name addresses; keep one of the two"))
	}
	for i, e := range t.Endpoints {
		if _, _, err := net.SplitHostPort(e); err != nil || !validHost(e) {
			errs = append(errs, config.Fault(fmt.Sprintf("endpoints[%d]", i), "%q is not an endpoint: write host:port", e))
		}
	}
	if (t.Protocol == "http" || t.Protocol == "h2c") && !t.TLS.IsZero() {
		errs = append(errs, config.Fault("tls", "protocol %s has no TLS; write protocol: https, or grpc", t.Protocol))
	}
	return errors.Join(append(errs, t.validateGRPC())...)
}

// validateGRPC checks that the configuration allows gRPC calls.
func (t *Target) validateGRPC() error {
	if t.Protocol != "grpc" {
		return nil
	}
	var errs []error
	if len(t.AllowedMethods) > 0 && !slices.Contains(t.AllowedMethods, "POST") {
		errs = append(errs, config.Fault("allowedMethods", "calls of gRPC are POST: add it, or remove allowedMethods (allowedPaths says which services and methods, as /pkg.Service/*)"))
	}
	if t.Async != nil {
		errs = append(errs, config.Fault("async", "a call of gRPC cannot be made later; remove async, or write protocol: h2c or https for calls that are not gRPC"))
	}
	if t.Auth.Query != "" {
		errs = append(errs, config.Fault("auth.query", "a call of gRPC has no query; write header, as header: X-API-Key"))
	}
	return errors.Join(errs...)
}

func hasPort(host string) bool {
	_, _, err := net.SplitHostPort(host)
	return err == nil
}

// validHost reports whether s is a name or an address, with or without a port.
func validHost(s string) bool {
	if h, p, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return false
		}
		s = h
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return true
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for _, part := range strings.Split(strings.TrimSuffix(strings.ToLower(s), "."), ".") {
		if part == "" || len(part) > maxName || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func address(key, s string) error {
	if _, p, err := net.SplitHostPort(s); err == nil {
		if _, err := strconv.ParseUint(p, 10, 16); err == nil {
			return nil
		}
	}
	return config.Fault(key, "%q is not an address to listen on: write host:port, as 127.0.0.1:3500 or :3500", s)
}

func duration(key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return config.Fault(key, "%v is out of bounds: from %v to %v", d, low, high)
	}
	return nil
}

func number(key string, n, low, high int) error {
	if n < low || n > high {
		return config.Fault(key, "%d is out of bounds: from %d to %d", n, low, high)
	}
	return nil
}

func share(key string, f float64) error {
	if !(f >= 0 && f <= 1) {
		return config.Fault(key, "%v is not a share: write a number from 0 to 1", f)
	}
	return nil
}
