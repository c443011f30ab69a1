package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// protoTools check protocols and generate their Go code. The plugins have the versions
// that the generated files name.
var protoTools = []tool{
	{"buf", "github.com/bufbuild/buf/cmd/buf", "v1.75.0", "some three minutes"},
	{"protoc-gen-go", "google.golang.org/protobuf/cmd/protoc-gen-go", "v1.36.12", "some seconds"},
	{"protoc-gen-go-grpc", "google.golang.org/grpc/cmd/protoc-gen-go-grpc", "v1.6.0", "some seconds"},
}

const (
	// bufConfig is the file that makes a folder one of protocols.
	bufConfig = "buf.yaml"
	// releasedProtocol is beside it: the descriptors of the protocol as it was last
	// released, which the protocol of the tree must not break. It is a file and not a tag
	// of git, because a clone may have neither tags nor history.
	releasedProtocol = "released.binpb"
)

// withProtoTools returns the environment in which commands find the tools: buf looks for
// its plugins on the PATH. What buf keeps lands in .cache.
func (p *Pipeline) withProtoTools(ctx context.Context) (env []string, buf string, err error) {
	dir, err := p.install(ctx, "buf-"+protoTools[0].version, protoTools...)
	if err != nil {
		return nil, "", err
	}
	cache, err := p.dir(".cache", "buf")
	if err != nil {
		return nil, "", err
	}
	env = []string{"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"), "BUF_CACHE_DIR=" + cache}
	return env, program(dir, "buf"), nil
}

// protocols lints the protocols of the modules, and refuses a change that breaks the
// programs of those who use the released one.
func (p *Pipeline) protocols(ctx context.Context, r *repo.Repo, modules []*repo.Module) error {
	var failed []error
	for _, m := range modules {
		for _, file := range m.Files {
			if path.Base(file) != bufConfig || strings.Contains(file, "testdata/") {
				continue
			}
			env, buf, err := p.withProtoTools(ctx)
			if err != nil {
				return err
			}
			failed = append(failed, p.protocol(ctx, r, path.Dir(file), env, buf))
		}
	}
	return errors.Join(failed...)
}

// protocol lints the protocols of one folder and compares them with the released ones.
func (p *Pipeline) protocol(ctx context.Context, r *repo.Repo, folder string, env []string, buf string) error {
	dir := r.Abs(folder)
	if _, err := os.Stat(filepath.Join(dir, releasedProtocol)); err != nil {
		return fmt.Errorf("%s/%s is missing: a change of the protocol cannot be compared; copy there the descriptors of the last release: %w", folder, releasedProtocol, err)
	}
	p.say("linting %s", folder)
	run := func(args ...string) error {
		return repo.Cmd{Dir: dir, Env: env, Out: p.Out, Args: append([]string{buf}, args...)}.Run(ctx)
	}
	if err := run("lint"); err != nil {
		return fmt.Errorf("buf refuses the form of %s: what it says stands above: %w", folder, err)
	}
	if err := run("breaking", "--against", releasedProtocol); err != nil {
		return fmt.Errorf("buf says that %s breaks the programs that use its last release: add to the protocol instead of changing it: %w", folder, err)
	}
	return nil
}
