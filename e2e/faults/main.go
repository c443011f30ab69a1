// Command faults runs whole fiso-flow processes on a real Apache Kafka and
// breaks what can break: processes, brokers, the service, the dead letter topic.
// It ends with a table, and with exit code 1 when a promise was broken.
//
//	go tool mage faults                          # all of it, which fetches Kafka
//	go run ./e2e/faults --scenario sigkill,pause --scale 0.1
//
// It needs java 17, and the folder of Kafka's jars in FISO_KAFKA_HOME.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/lsm/fiso/e2e/faults/internal/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := program.Main(ctx, scenarios, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1) //nolint:forbidigo // the end of main
	}
}
