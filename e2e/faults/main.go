// Command faults runs whole fiso-flow processes on a real Apache Kafka and causes faults in
// processes, brokers, the service and the dead letter topic. It prints a table, and exits with 1
// if a guarantee was broken.
//
//	go tool mage faults                          # all scenarios; downloads Kafka
//	go run ./e2e/faults --scenario sigkill,pause --scale 0.1
//
// It needs Java 17, and the directory of Kafka's jars in FISO_KAFKA_HOME.
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
		os.Exit(1) //nolint:forbidigo // end of main
	}
}
