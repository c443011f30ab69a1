package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/spec"
)

// U2: a panic in any operation of a command or an instance on a flow is a fault of the flow file.
func TestGuard_isAroundAllThatIsDoneWithAFile(t *testing.T) {
	broken := func() *Plan {
		b := parsed(t, "name: a\n"+httpIn+out+"errorHandling: {deadLetter: {type: file, config: {path: x}}}\n")
		b.source, b.process = nil, nil // any call of them panics
		return b
	}
	known := sources["http"]
	for name, do := range map[string]func() error{
		"parse": func() error {
			sources["http"] = func() source { panic("canary") }
			defer func() { sources["http"] = known }()
			b, err := Parse("flow.yaml", []byte("name: a\n"+httpIn+out))
			if b != nil {
				t.Error("a file that panics gives a plan")
			}
			return err
		},
		"explain": func() error { _, err := broken().Explain(); return err },
		"process": func() error { _, err := broken().Process(t.Context(), &connector.Message{}); return err },
		"build":   func() error { b := broken(); return b.Guard(func() error { _, err := b.Source(Env{}); return err }) },
		"check": func() error {
			checks := broken().Check(t.Context(), Env{})
			if len(checks) != 1 || !checks[0].Failed() || checks[0].Part != "flow" {
				t.Fatalf("checks = %+v", checks)
			}
			return checks[0].Steps[0].Err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := do()
			faults, ok := errors.AsType[config.Errors](err)
			if !ok || len(faults) != 1 || faults[0].Code != spec.CodeInternal || faults[0].Pos.File != "flow.yaml" || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// U2: this file ended the process: a map key of bytes cannot be hashed.
func TestParse_refusesAMapKeyOfBytes(t *testing.T) {
	_, err := Parse("flow.yaml", []byte("name: a\n"+kafkaIn+out+"transform: {cel: '{b\"x\": 1}'}\n"))
	faults, ok := errors.AsType[config.Errors](err)
	if !ok || len(faults) != 1 || faults[0].Code != config.CodeCEL || faults[0].Pos.Line != 4 || faults[0].Pos.Column != 20 ||
		faults[0].Message != "transform.cel: a map key is of type bytes" {
		t.Errorf("got %v", err)
	}
}
