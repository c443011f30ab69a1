package spec

import (
	"errors"
	"fmt"

	"github.com/lsm/fiso/common/config"
)

// file is a configuration as this version takes it: what the contract has, and
// this version not, is refused by name.
type file struct {
	Config Config `yaml:",inline"`
}

// Validate says what comes later.
func (f *file) Validate() error {
	var errs []error
	for i := range f.Config.Targets {
		t := &f.Config.Targets[i]
		switch t.Protocol {
		case "kafka":
			errs = append(errs, config.Fault(fmt.Sprintf("targets[%d].protocol", i), "%s is known, but not in this version of fiso-link; use http, https, h2c or grpc", t.Protocol))
		}
		if t.Async != nil {
			errs = append(errs, config.Fault(fmt.Sprintf("targets[%d].async", i), "is known, but not in this version of fiso-link: remove it"))
		}
	}
	return errors.Join(errs...)
}
