package temporal

import (
	"errors"
	"time"

	"github.com/lsm/fiso/common/config"
)

// SourceConfig is the configuration of a Source. A zero field takes the default in its
// tag.
type SourceConfig struct {
	ClientConfig `yaml:",inline"`

	TaskQueue   string        `yaml:"taskQueue" required:"true" doc:"Task queue on which workflows call the activity fiso.publish. Sources with the same task queue share the calls."`
	MaxInFlight int           `yaml:"maxInFlight" default:"256" doc:"Most events at once that are not settled; at this bound no further calls are taken. The server's limit for one event is 2 MiB."`
	Heartbeat   time.Duration `yaml:"heartbeat" default:"10s" doc:"How often to send a heartbeat for an event that waits; more often if the workflow sets a short heartbeat timeout. A heartbeat also learns that the call was cancelled."`
	Codec       Codec         `yaml:"codec" doc:"Remote payload codec that decodes events and encodes results, where workflows encrypt their payloads."`
}

// Bounds of SourceConfig.
const (
	mostInFlight   = 100_000
	leastHeartbeat = 10 * time.Millisecond
)

// Validate joins all faults of the configuration.
func (c *SourceConfig) Validate() error {
	faults := []error{c.ClientConfig.Validate(), checkName("taskQueue", c.TaskQueue), c.Codec.validate()}
	fault := func(bad bool, key, format string, args ...any) {
		if bad {
			faults = append(faults, config.Fault(key, format, args...))
		}
	}
	fault(c.MaxInFlight < 1 || c.MaxInFlight > mostInFlight, "maxInFlight", "must be from 1 to %d", mostInFlight)
	fault(c.Heartbeat < leastHeartbeat, "heartbeat", "%v is too short; the least is %v", c.Heartbeat, leastHeartbeat)
	return errors.Join(faults...)
}
