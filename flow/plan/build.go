package plan

import (
	"fmt"

	"github.com/lsm/fiso/common/connector"
)

// Source builds the flow's source. It connects to nothing.
func (b *Plan) Source(env Env) (connector.Source, error) {
	s, err := b.source.build(b.Flow, env)
	if err != nil {
		return nil, fmt.Errorf("build the source: %w", err)
	}
	return s, nil
}
