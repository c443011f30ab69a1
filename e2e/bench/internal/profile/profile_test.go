package profile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBegin_writesBothProfiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "p")
	end, err := Begin(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(name + "2"); err == nil {
		t.Error("two at once")
	}
	end()
	for _, file := range []string{name + ".cpu.pprof", name + ".mem.pprof"} {
		if s, err := os.Stat(file); err != nil || s.Size() == 0 {
			t.Errorf("%s: %v, %v", file, s, err)
		}
	}
	if _, err := Begin(filepath.Join(name, "no", "folder")); err == nil {
		t.Error("a folder that is not there")
	}
}
