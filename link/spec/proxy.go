package spec

import (
	"errors"
	"net/url"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// ProxyOfEnvironment, given as a proxy's URL, selects the proxy of HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY.
const ProxyOfEnvironment = "environment"

// Proxy is an outbound proxy. It is asked for a tunnel (CONNECT) to each destination.
type Proxy struct {
	URL       string         `yaml:"url" required:"true" doc:"Where it is, as http://proxy:3128; or environment: what HTTPS_PROXY (without TLS: HTTP_PROXY) and NO_PROXY say."`
	Username  string         `yaml:"username" doc:"User at the proxy."`
	SecretRef *SecretRef     `yaml:"secretRef" secret:"true" doc:"Password of that user."`
	NoProxy   config.Strings `yaml:"noProxy" doc:"Hosts that are connected to directly, as NO_PROXY has them: names with all below, addresses, networks as 10.0.0.0/8, or *. Loopback always is."`
}

// Validate checks the address, and that the URL holds no credential.
func (p *Proxy) Validate() error {
	if p.URL == ProxyOfEnvironment {
		if p.Username != "" || p.SecretRef != nil || len(p.NoProxy) > 0 {
			return config.Fault("url", "environment takes everything from the environment; remove username, secretRef and noProxy, or write the URL")
		}
		return nil
	}
	var errs []error
	if p.URL != "" { // reported as missing: required
		err := checkURL("url", p.URL, "http://proxy:3128")
		if u, _ := url.Parse(p.URL); err == nil && (u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "") {
			err = config.Fault("url", "has more than scheme, host and port; the user goes into username, the password into secretRef")
		}
		errs = append(errs, err)
	}
	if (p.Username == "") != (p.SecretRef == nil) {
		errs = append(errs, config.Fault("username", "username and secretRef go together: write both, or none"))
	}
	if strings.ContainsAny(p.Username, ":\r\n") {
		errs = append(errs, config.Fault("username", "a user name for basic has no colon and no line break"))
	}
	return errors.Join(errs...)
}

// secretRef returns the reference to the password; nil: none.
func (p *Proxy) secretRef() *SecretRef {
	if p == nil {
		return nil
	}
	return p.SecretRef
}
