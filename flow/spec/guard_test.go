package spec

import (
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
)

// U2: a panic while a file is handled is a fault of that file. Its text shows nothing of the panic
// value.
func TestGuard_makesAPanicAFaultOfTheFile(t *testing.T) {
	var m map[any]bool
	for name, row := range map[string]struct {
		do   func() error
		want string
	}{
		"of the runtime": {func() error { _ = m[[]byte("canary")]; return nil }, "hash of unhashable type: []uint8 (in spec.TestGuard_makesAPanicAFaultOfTheFile.func1, guard_test.go:"},
		"of a library":   {func() error { panic("canary") }, "panic(string) (in spec.TestGuard_makesAPanicAFaultOfTheFile.func2, guard_test.go:"},
		"with an error":  {func() error { panic(errors.New("canary")) }, "panic(*errors.errorString) (in spec.TestGuard_makesAPanicAFaultOfTheFile.func3, guard_test.go:"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Guard("a.yaml", row.do)
			faults, ok := errors.AsType[config.Errors](err)
			if !ok || len(faults) != 1 {
				t.Fatalf("got %T: %v", err, err)
			}
			f := faults[0]
			if f.Pos.File != "a.yaml" || f.Code != CodeInternal || !strings.HasPrefix(f.Message, "fiso-flow panicked on this file, which is a bug in fiso-flow: "+row.want) {
				t.Errorf("got %+v", f)
			}
			if !strings.HasPrefix(err.Error(), "a.yaml: fiso-flow panicked") || !strings.Contains(err.Error(), "please report it") || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %q", err)
			}
			if p, ok := errors.AsType[*Panic](err); !ok || !strings.Contains(p.Stack, "guard_test.go") {
				t.Errorf("the stack is %q", p.Stack)
			}
			if all := Faults("", err); len(all) != 1 || all[0] != f {
				t.Errorf("as faults: %v", all)
			}
		})
	}
	failed := errors.New("failed")
	if err := Guard("a.yaml", func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("an error that is no panic became %v", err)
	}
}

// U2: the other files of the directory are still read.
func TestParseAll_readsOnAfterAPanic(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "x")
	write(t, dir, "b.yaml", "x")
	got, err := ParseAll([]string{dir}, func(file string, _ []byte) (flow string, err error) {
		return file, Guard(file, func() error {
			if strings.HasSuffix(file, "a.yaml") {
				panic("x")
			}
			return nil
		})
	}, func(file string) string { return file })
	if len(got) != 1 || !strings.HasSuffix(got[0], "b.yaml") || !strings.Contains(err.Error(), "a.yaml: fiso-flow panicked") {
		t.Errorf("got %v, %v", got, err)
	}
}
