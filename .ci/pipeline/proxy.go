package pipeline

import (
	"context"
	"os"
	"path"
	"strings"

	"github.com/lsm/fiso/.ci/modproxy"
)

// coming is the version the modules are tried at. A module that already
// requires a sibling at another one has to find it where modules are published.
const coming = "v0.1.0"

// Proxy lays the modules out as if they were released, then does what a user
// would: gets every connector into an empty module, compiles its README's
// example, and installs every command.
func (p *Pipeline) Proxy(ctx context.Context) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	home, err := p.dir(".cache", "user")
	if err != nil {
		return err
	}
	proxy, err := p.dir(".build", "proxy")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(proxy); err != nil {
		return err
	}
	if err := modproxy.Write(r, proxy, coming); err != nil {
		return err
	}
	user := &modproxy.User{Proxy: proxy, Home: home, Version: coming, Out: p.Out}
	env, err := user.Prepare(ctx, r)
	if err != nil {
		return err
	}
	for _, m := range modules {
		if strings.HasPrefix(m.Dir, "connectors/") && len(m.Patterns()) > 0 {
			if err := user.GetAndBuild(ctx, r, m, env); err != nil {
				return err
			}
		}
		for _, dir := range commands(m) {
			if err := user.Install(ctx, path.Join(m.Path, dir), env); err != nil {
				return err
			}
		}
	}
	return nil
}
