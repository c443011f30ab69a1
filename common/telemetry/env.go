package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// otlpConfig is the configuration of the exporter, from the OTEL_* variables.
type otlpConfig struct {
	url     string
	headers http.Header
	timeout time.Duration // of one attempt
	gzip    bool
	tls     *tls.Config // nil: the system's defaults
}

// otlpFromEnv reads the variables of the OTLP exporter. OTEL_EXPORTER_OTLP_TRACES_…
// overrides each of them. The result is nil if traces are off: disabled, or without an
// endpoint. An error names the variable.
func otlpFromEnv() (*otlpConfig, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return nil, nil
	case "", "otlp":
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is not supported: use otlp or none", exporter)
	}
	endpoint, err := endpointFromEnv()
	if err != nil || endpoint == "" {
		return nil, err
	}
	cfg := &otlpConfig{url: endpoint, timeout: 10 * time.Second}
	err = errors.Join(cfg.protocol(), cfg.readHeaders(), cfg.readTimeout(), cfg.compression(), cfg.certificates())
	if err != nil {
		return nil, err
	}
	return cfg, nil
}

// otlpVar returns the value of an OTLP variable and the name under which it was found.
func otlpVar(name string) (value, found string) {
	found = "OTEL_EXPORTER_OTLP_TRACES_" + name
	if value = os.Getenv(found); value != "" {
		return value, found
	}
	found = "OTEL_EXPORTER_OTLP_" + name
	return os.Getenv(found), found
}

func endpointFromEnv() (string, error) {
	raw, name := otlpVar("ENDPOINT")
	if raw == "" {
		return "", nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%s: it must be an http or https URL such as http://localhost:4318", name)
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" { // the base of all signals
		return u.JoinPath("v1/traces").String(), nil
	}
	return raw, nil
}

func (c *otlpConfig) protocol() error {
	switch value, name := otlpVar("PROTOCOL"); value {
	case "", "http/protobuf":
		return nil
	default:
		return fmt.Errorf("%s: %.40q is not supported: use http/protobuf, which collectors take on port 4318", name, value)
	}
}

// readHeaders reads key=value,key=value with percent-encoded values. Values are secrets,
// so errors do not show them.
func (c *otlpConfig) readHeaders() error {
	value, name := otlpVar("HEADERS")
	c.headers = http.Header{}
	for pair := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, v, ok := strings.Cut(pair, "=")
		v, err := url.PathUnescape(strings.TrimSpace(v))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			return fmt.Errorf("%s: it must be key=value,key=value with percent-encoded values", name)
		}
		c.headers.Set(key, v)
	}
	return nil
}

func (c *otlpConfig) readTimeout() error {
	value, name := otlpVar("TIMEOUT")
	if value == "" {
		return nil
	}
	ms, err := strconv.Atoi(value)
	if err != nil || ms <= 0 || ms > 3_600_000 {
		return fmt.Errorf("%s: %.40q is not a number of milliseconds such as 10000", name, value)
	}
	c.timeout = time.Duration(ms) * time.Millisecond
	return nil
}

func (c *otlpConfig) compression() error {
	switch value, name := otlpVar("COMPRESSION"); value {
	case "gzip":
		c.gzip = true
		return nil
	case "", "none":
		return nil
	default:
		return fmt.Errorf("%s: %.40q is not supported: use gzip or none", name, value)
	}
}

func (c *otlpConfig) certificates() error {
	ca, caName := otlpVar("CERTIFICATE")
	cert, certName := otlpVar("CLIENT_CERTIFICATE")
	key, keyName := otlpVar("CLIENT_KEY")
	if ca == "" && cert == "" && key == "" {
		return nil
	}
	c.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := read(ca)
		if err != nil {
			return fmt.Errorf("%s: %w", caName, err)
		}
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: %s holds no certificate in PEM form", caName, ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := keyPair(cert, key)
		if err != nil {
			return fmt.Errorf("%s and %s: %w", certName, keyName, err)
		}
		c.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func keyPair(cert, key string) (tls.Certificate, error) {
	certPEM, err := read(cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := read(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func read(file string) ([]byte, error) {
	return config.ReadFile(context.Background(), file, config.MaxFile)
}
