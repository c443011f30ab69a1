package config_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/config"
)

type Consumer struct {
	Brokers       config.Strings `yaml:"brokers" required:"true" doc:"Brokers to ask first, as host:port."`
	ConsumerGroup string         `yaml:"consumerGroup" required:"true" doc:"Group to consume in."`
	StartOffset   string         `yaml:"startOffset" default:"latest" enum:"earliest|latest" doc:"Where to begin."`
	Linger        time.Duration  `yaml:"linger" default:"5ms" doc:"How long to wait for company."`
	Password      config.Secret  `yaml:"password" doc:"Password of the user."`
}

func (c *Consumer) Validate() error {
	var errs []error
	for i, broker := range c.Brokers {
		if broker == "" {
			errs = append(errs, config.Fault(fmt.Sprintf("brokers[%d]", i), "is empty"))
		}
	}
	if c.Linger < 0 {
		errs = append(errs, config.Fault("linger", "must not be negative"))
	}
	return errors.Join(errs...)
}

type Flow struct {
	Source struct {
		Type   string     `yaml:"type" required:"true" doc:"Connector to read from."`
		Config config.Raw `yaml:"config" doc:"Its settings."`
	} `yaml:"source" required:"true"`
}

// A connector's settings are decoded once its type is known. All faults are reported together, each at
// its position in the file.
func Example() {
	file := `source:
  type: kafka
  config:
    brokers: kafka:9092
    consumerGrup: fiso-order-flow
    startOffset: newest
    linger: 5
`
	var flow Flow
	if err := config.Decode("orders.yaml", []byte(file), &flow); err != nil {
		fmt.Println(err)
		return
	}
	var consumer Consumer
	fmt.Println(flow.Source.Config.Decode(&consumer))
	// Output:
	// orders.yaml:5:5: unknown key "consumerGrup" in source.config
	//   5 |     consumerGrup: fiso-order-flow
	//     |     ^^^^^^^^^^^^ did you mean "consumerGroup"?
	// orders.yaml:6:18: source.config.startOffset: unknown value "newest"
	//   6 |     startOffset: newest
	//     |                  ^^^^^^ write one of: earliest, latest
	// orders.yaml:7:13: source.config.linger: expected a duration such as 200ms, found the number 5
	//   7 |     linger: 5
	//     |             ^ say the unit: 5s or 5ms
}

func ExampleTable() {
	fmt.Print(config.Table(Consumer{}))
	// Output:
	// | key | type | default | meaning |
	// |---|---|---|---|
	// | `brokers` | list of strings | **required** | Brokers to ask first, as host:port. |
	// | `consumerGroup` | string | **required** | Group to consume in. |
	// | `startOffset` | `earliest`, `latest` | `latest` | Where to begin. |
	// | `linger` | duration | `5ms` | How long to wait for company. |
	// | `password` | secret |  | Password of the user. |
}
