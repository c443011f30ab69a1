//go:build integration

package grpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// protoDir holds all that a peer knows of the protocol.
const protoDir = "proto"

// peerProgram is a program in another language, in testdata/peers.
func peerProgram(ctx context.Context, t *testing.T, file string, args ...string) *exec.Cmd {
	t.Helper()
	home := os.Getenv("FISO_PEERS_HOME")
	if home == "" {
		t.Skip("clients and servers of other languages are needed: set FISO_PEERS_HOME to a folder with node_modules, python and java in it (go tool mage integration -module=connectors/grpc makes one)")
	}
	path := filepath.Join("testdata", "peers", file)
	command := []string{"node", path}
	switch filepath.Ext(file) {
	case ".py":
		command = []string{"python3", path}
	case ".java":
		jars := filepath.Join(home, "java", "*")
		command = []string{"java", "-cp", compileJava(ctx, t, home, jars, path) + ":" + jars, strings.TrimSuffix(file, ".java")}
	}
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(home, "node_modules"), "PYTHONPATH="+filepath.Join(home, "python"), "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// compileJava compiles a program and the classes of the protocol, and returns their folder.
func compileJava(ctx context.Context, t *testing.T, home, jars, file string) string {
	t.Helper()
	dir := t.TempDir()
	protoc, err := filepath.Glob(filepath.Join(home, "java", "protoc-*.exe"))
	if err != nil || len(protoc) != 1 {
		t.Fatalf("one protoc is needed in %s/java: %v %v", home, protoc, err)
	}
	if err := os.Chmod(protoc[0], 0o755); err != nil {
		t.Fatal(err)
	}
	// Maven's protoc comes without google/protobuf/*.proto.
	common := filepath.Join(home, "python", "grpc_tools", "_proto")
	runTool(ctx, t, protoc[0], "-I"+protoDir, "-I"+common, "--java_out="+dir, "fiso/v1/events.proto", "io/cloudevents/v1/cloudevents.proto")
	sources := []string{"-nowarn", "-d", dir, "-cp", jars, file}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".java" {
			sources = append(sources, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	runTool(ctx, t, "javac", sources...)
	return dir
}

func runTool(ctx context.Context, t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// produced is what a producer printed.
type produced struct {
	outcomes map[string]string // by the id of the event
	summary  struct{ Streams, Drains, Broken, Again, Rejected int }
}

// runningProducer is a producer that runs.
type runningProducer struct {
	file  string
	ended chan struct{}

	// Read after ended is closed.
	err       error
	out, said bytes.Buffer
}

// startProducer runs a producer that publishes so many events.
func startProducer(t *testing.T, file, address string, events int, args ...string) *runningProducer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	p := &runningProducer{file: file, ended: make(chan struct{})}
	cmd := peerProgram(ctx, t, file, append([]string{address, protoDir, strconv.Itoa(events)}, args...)...)
	cmd.Stdout, cmd.Stderr = &p.out, &p.said
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
	})
	return p
}

// result waits until the producer has ended.
func (r *runningProducer) result(t *testing.T) produced {
	t.Helper()
	<-r.ended
	if r.err != nil {
		t.Fatalf("%s: %v: %s", r.file, r.err, r.said.String())
	}
	p := produced{outcomes: map[string]string{}}
	for line := range strings.Lines(r.out.String()) {
		var entry struct {
			ID, Outcome string
			Summary     any
		}
		entry.Summary = &p.summary
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%s printed %q: %v", r.file, line, err)
		}
		if entry.ID == "" {
			continue
		}
		if p.outcomes[entry.ID] != "" {
			t.Errorf("%s has two results for %s", r.file, entry.ID)
		}
		p.outcomes[entry.ID] = entry.Outcome
	}
	return p
}

// serving is a receiver that runs.
type serving struct {
	address string
	end     func() // kills it and waits for it
	said    bytes.Buffer
	out     bytes.Buffer // after the port; complete after end
}

// serve runs a receiver until the test ends, or printed is called.
func serve(t *testing.T, file string) *serving {
	t.Helper()
	s := new(serving)
	cmd := peerProgram(context.WithoutCancel(t.Context()), t, file, protoDir)
	cmd.Stderr = &s.said
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	s.end = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
		reading.Wait()
		_ = cmd.Wait() // it was killed
	})
	t.Cleanup(s.end)
	lines := bufio.NewReader(pipe)
	port, err := lines.ReadString('\n')
	if err != nil {
		s.end()
		t.Fatalf("%s: %v: %s", file, err, s.said.String())
	}
	// The pipe holds 64 KiB only: it is read while the receiver runs.
	reading.Go(func() { _, _ = s.out.ReadFrom(lines) }) // ends with the receiver
	s.address = "127.0.0.1:" + strings.TrimSpace(port)
	return s
}

// printed ends the receiver and gives what it printed after its port.
func (s *serving) printed(t *testing.T) string {
	t.Helper()
	s.end()
	if s.said.Len() > 0 {
		t.Errorf("the receiver complained: %s", s.said.String())
	}
	return s.out.String()
}
