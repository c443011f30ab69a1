package plan

import (
	"fmt"

	"github.com/lsm/fiso/common/connector"
)

// Source builds the source of the flow. It opens no connection.
func (p *Plan) Source(env Env) (connector.Source, error) {
	s, err := p.source.build(p.Flow, env)
	if err != nil {
		return nil, fmt.Errorf("build the source: %w", err)
	}
	return s, nil
}
