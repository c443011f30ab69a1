package pipeline_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/lsm/fiso/.ci/repo/repotest"
)

// fakeBuf says what it was asked, refuses a folder that holds the word REFUSE followed by
// the command, and generates a file.
const fakeBuf = `#!/bin/sh
echo "buf $* in ${PWD##*/}"
case $1 in generate) command -v protoc-gen-go >/dev/null && command -v protoc-gen-go-grpc >/dev/null && test -d "$BUF_CACHE_DIR" && echo made >made.txt; exit;; esac
! grep -q "REFUSE $1" buf.yaml
`

// withProtocol adds a protocol and the tools for it.
func withProtocol(t *testing.T, config string, files repotest.Files) repotest.Files {
	t.Helper()
	bin := ".cache/bin/buf-v1.75.0-" + runtime.Version() + "/"
	files[bin+"buf"], files[bin+"protoc-gen-go"], files[bin+"protoc-gen-go-grpc"] = fakeBuf, "#!/bin/sh\n", "#!/bin/sh\n"
	files["connectors/kafka/proto/buf.yaml"], files["connectors/kafka/proto/released.binpb"] = config, "descriptors"
	return files
}

func TestLint_comparesAProtocolWithTheReleasedOne(t *testing.T) {
	p, out := at(t, withProtocol(t, "version: v2\n", tree()))
	if err := p.Lint(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mustSay(t, out, "linting connectors/kafka/proto\nbuf lint in proto\nbuf breaking --against released.binpb in proto\n")

	for command, words := range map[string]string{
		"lint":     "buf refuses the form of connectors/kafka/proto: what it says stands above",
		"breaking": "connectors/kafka/proto breaks the programs that use its last release: add to the protocol instead of changing it",
	} {
		p, _ := at(t, withProtocol(t, "REFUSE "+command+"\n", tree()))
		mustRefuse(t, p.Lint(t.Context()), words)
	}

	if err := os.Remove(filepath.Join(p.Root, "connectors", "kafka", "proto", "released.binpb")); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, p.Lint(t.Context()), "connectors/kafka/proto/released.binpb is missing: a change of the protocol cannot be compared")
}

func TestGenerate_hasBufAndItsPluginsWhereAFileAsksForThem(t *testing.T) {
	files := withProtocol(t, "version: v2\n", tree())
	files["flow/gen.go"] = "// Package flow flows.\npackage flow\n\n//go:generate buf generate --a\n"
	p, out := at(t, files)
	if err := p.Generate(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	mustSay(t, out, "buf generate --a in flow", "generate: changed flow/made.txt\n")
	repotest.Write(t, p.Root, "flow/made.txt", "by hand\n")
	mustRefuse(t, p.Drift(t.Context()), "commit it: flow/made.txt")
}

func TestGenerate_buildsTheToolsForProtocolsOnce(t *testing.T) {
	files := tree()
	files["flow/gen.go"] = "// Package flow flows.\npackage flow\n\n//go:generate buf generate\n"
	p, out := at(t, files)
	repotest.Commands(t, false, map[string]string{"go": `[ "$1" = generate ] || { name=${2##*/}; cp "$0" "$GOBIN/${name%@*}"; }`})
	for range 2 {
		if err := p.Generate(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for _, words := range []string{"building buf v1.75.0, once", "building protoc-gen-go v1.36.12, once", "building protoc-gen-go-grpc v1.6.0, once"} {
		if n := strings.Count(out.String(), words); n != 1 {
			t.Errorf("%q was said %d times", words, n)
		}
	}
	if err := p.Clean(); err != nil {
		t.Fatal(err)
	}
	repotest.Commands(t, false, map[string]string{"go": "echo no network; exit 1"})
	mustRefuse(t, p.Generate(t.Context()), "building buf: go install github.com/bufbuild/buf/cmd/buf@v1.75.0: exit status 1\nno network")

	repotest.Write(t, p.Root, "connectors/kafka/proto/buf.yaml", "version: v2\n")
	mustRefuse(t, p.Lint(t.Context()), "no network")
	if err := os.RemoveAll(filepath.Join(p.Root, ".cache")); err != nil {
		t.Fatal(err)
	}
	repotest.Write(t, p.Root, ".cache", "a file")
	mustRefuse(t, p.Generate(t.Context()), ".cache")
}
