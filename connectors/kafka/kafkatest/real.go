package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// HomeEnv is the environment variable with the folder of jars that Real starts Apache
// Kafka from. Fill the folder with `mvn dependency:copy-dependencies` on kafka-pom.xml
// in this package.
const HomeEnv = "FISO_KAFKA_HOME"

// The only user of a cluster with SASL, for PLAIN and both SCRAMs. OAUTHBEARER accepts
// any unsecured token: see UnsecuredToken.
const (
	User     = "alice"
	Password = "alice-secret"
)

// startLimit bounds the start of a broker. A broker that was killed reads its logs
// again first.
const startLimit = 3 * time.Minute

// RealOptions are the options of a real cluster. The zero value is one broker without
// authentication.
type RealOptions struct {
	// Brokers is the number of brokers, 1 or 3. 0: 1.
	Brokers int
	// SASL requires clients to authenticate: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or
	// OAUTHBEARER.
	SASL bool
	// TLS encrypts connections, with certificates made for the test.
	TLS bool
	// ClientCerts requires clients to present a certificate; only with TLS.
	ClientCerts bool
	// Advertised is the host that brokers advertise to clients. "": the address that
	// they listen on.
	Advertised string
	// Config is added to each broker's server.properties.
	Config map[string]string
}

// Processes is a cluster of Apache Kafka brokers, each a process of its own, for
// programs. Its Admin uses a listener without SASL and TLS. The ids of brokers start at
// 1. Its methods must not be called concurrently.
type Processes struct {
	Admin
	// Certs are the files for TLS; empty without TLS.
	Certs   Certs
	java    string
	home    string
	opts    RealOptions
	brokers []*broker
	// stopTimeout is how long a broker may take to stop before it is killed.
	stopTimeout time.Duration
}

// RealCluster is Processes for a test: an error fails the test.
type RealCluster struct {
	*Processes
	t testing.TB
}

// broker is one process.
type broker struct {
	id                         int
	external, internal, quorum int // ports
	dir                        string
	cmd                        *exec.Cmd
	done                       chan struct{} // closed when the process ended
}

// Real starts Apache Kafka (KRaft, every broker is also a controller) on free ports of
// 127.0.0.1, and stops it when the test ends. It skips the test when jars or java are
// missing, and fails it when the cluster does not start in time.
func Real(t testing.TB, o RealOptions) *RealCluster {
	t.Helper()
	if err := Available(); err != nil {
		t.Skipf("a real Kafka is needed: %v", err)
	}
	p, err := StartReal(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &RealCluster{Processes: p, t: t}
	t.Cleanup(c.end)
	return c
}

// Available returns what is missing to run a real Kafka, or nil.
func Available() error {
	if os.Getenv(HomeEnv) == "" {
		return fmt.Errorf("set %s to a folder of its jars (mvn -f kafka-pom.xml dependency:copy-dependencies -DoutputDirectory=…)", HomeEnv)
	}
	if _, err := exec.LookPath("java"); err != nil {
		return errors.New("no java on PATH; install java 17")
	}
	return nil
}

// StartReal is Real for programs: the brokers store their data in dir, and Close stops
// them.
func StartReal(dir string, o RealOptions) (*Processes, error) {
	if err := Available(); err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	o.Brokers = max(o.Brokers, 1)
	c := &Processes{java: java, home: os.Getenv(HomeEnv), opts: o, stopTimeout: 30 * time.Second}
	if o.TLS {
		if c.Certs, err = makeCerts(dir); err != nil {
			return nil, err
		}
	}
	for try := 1; ; try++ {
		if err = c.boot(filepath.Join(dir, fmt.Sprint("try", try))); err == nil {
			break
		}
		c.stopAll()
		if try == 3 { // another process may have taken a chosen port
			return nil, fmt.Errorf("start Kafka: %w", err)
		}
	}
	if c.Admin, err = newAdmin(c.addrs(func(b *broker) int { return b.internal }), nil); err != nil {
		c.stopAll()
		return nil, err
	}
	return c, nil
}

// Close kills all brokers.
func (c *Processes) Close() {
	c.close()
	c.stopAll()
}

// end closes the cluster, and logs the brokers' logs if the test failed.
func (c *RealCluster) end() {
	c.Close()
	if !c.t.Failed() {
		return
	}
	for _, b := range c.brokers {
		if log, err := os.ReadFile(b.file("log")); err == nil {
			c.t.Logf("log of broker %d:\n%s", b.id, tail(log))
		}
	}
}

// Brokers returns the addresses for clients.
func (c *Processes) Brokers() []string {
	return c.addrs(func(b *broker) int { return b.external })
}

func (c *Processes) addrs(port func(*broker) int) []string {
	var all []string
	for _, b := range c.brokers {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", port(b)))
	}
	return all
}

// boot creates brokers and starts them.
func (c *Processes) boot(dir string) error {
	ports, err := freePorts(3 * c.opts.Brokers)
	if err != nil {
		return err
	}
	c.brokers = nil
	for i := range c.opts.Brokers {
		b := &broker{id: i + 1, external: ports[3*i], internal: ports[3*i+1], quorum: ports[3*i+2], dir: filepath.Join(dir, fmt.Sprint("broker", i+1))}
		c.brokers = append(c.brokers, b)
	}
	for _, b := range c.brokers {
		if err := c.format(b); err != nil {
			return err
		}
	}
	return c.startAll(c.brokers)
}

// startAll starts brokers together, since none is ready before a majority runs, and
// waits until all are ready.
func (c *Processes) startAll(brokers []*broker) error {
	for _, b := range brokers {
		if err := c.launch(b); err != nil {
			return err
		}
	}
	for _, b := range brokers {
		if err := c.await(b); err != nil {
			return err
		}
	}
	return nil
}

// format writes the broker's properties and formats its storage.
func (c *Processes) format(b *broker) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(b.file("server.properties"), []byte(c.properties(b)), 0o600); err != nil {
		return err
	}
	args := []string{"format", "-t", "FisoTestClusterAAAAAAAA", "-c", b.file("server.properties")}
	if c.opts.SASL {
		for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, User, Password))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.java, c.jvm("kafka.tools.StorageTool", args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format storage: %w\n%s", err, tail(out))
	}
	return nil
}

func (c *Processes) jvm(main string, args ...string) []string {
	return append([]string{
		"-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
		"-cp", filepath.Join(c.home, "*"), main,
	}, args...)
}

func (b *broker) file(name string) string { return filepath.Join(b.dir, name) }

// launch starts the process; await waits until it is ready.
func (c *Processes) launch(b *broker) error {
	log, err := os.OpenFile(b.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	//nolint:noctx // the broker outlives every context here; end and stopAll stop it
	b.cmd = exec.Command(c.java, c.jvm("kafka.Kafka", b.file("server.properties"))...)
	b.cmd.Stdout, b.cmd.Stderr, b.cmd.Dir = log, log, b.dir
	killWithParent(b.cmd)
	if err := b.cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	b.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // its log says how it ended
		_ = log.Close()
		close(done)
	}(b.cmd, b.done)
	return nil
}

// await waits until the broker accepts connections of clients, which it does once it is
// unfenced.
func (c *Processes) await(b *broker) error {
	deadline := time.NewTimer(startLimit)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		log, err := os.ReadFile(b.file("log"))
		if err == nil && strings.Contains(string(log[b.lastStart(log):]), "Kafka Server started") {
			return nil
		}
		select {
		case <-b.done:
			log, _ = os.ReadFile(b.file("log")) // all of it, now that the process has ended
			return fmt.Errorf("start broker %d: the process ended:\n%s", b.id, tail(log))
		case <-deadline.C:
			return fmt.Errorf("start broker %d: not ready after %v:\n%s", b.id, startLimit, tail(log))
		case <-tick.C:
		}
	}
}

// lastStart returns where the log of the broker's last start begins.
func (b *broker) lastStart(log []byte) int {
	return max(0, strings.LastIndex(string(log), "initiating startup")-1, strings.LastIndex(string(log), "Registered signal handlers")-1)
}

// Kill kills a broker, like a power cut.
func (c *Processes) Kill(id int) { c.halt(c.brokers[id-1], os.Kill) }

// Stop stops a broker gracefully: it hands its partitions over first.
func (c *Processes) Stop(id int) { c.halt(c.brokers[id-1], os.Interrupt) }

// Start starts brokers that were stopped or killed, together, and waits until
// all of them are up.
func (c *Processes) Start(ids ...int) error {
	var brokers []*broker
	for _, id := range ids {
		b := c.brokers[id-1]
		if err := os.Truncate(b.file("log"), 0); err != nil {
			return fmt.Errorf("start broker %d: %w", id, err)
		}
		brokers = append(brokers, b)
	}
	return c.startAll(brokers)
}

// Start starts brokers that were stopped or killed, together, and waits until
// all of them are up.
func (c *RealCluster) Start(ids ...int) {
	c.t.Helper()
	if err := c.Processes.Start(ids...); err != nil {
		c.t.Fatal(err)
	}
}

// Restart stops a broker and starts it again.
func (c *RealCluster) Restart(id int) { c.t.Helper(); c.Stop(id); c.Start(id) }

func (c *Processes) halt(b *broker, sig os.Signal) {
	if b.cmd == nil || b.cmd.Process == nil {
		return
	}
	_ = b.cmd.Process.Signal(sig) // it may have ended already
	t := time.NewTimer(c.stopTimeout)
	defer t.Stop()
	select {
	case <-b.done:
	case <-t.C:
		_ = b.cmd.Process.Kill() // it did not stop in time
		<-b.done
	}
	b.cmd = nil
}

func (c *Processes) stopAll() {
	for _, b := range c.brokers {
		c.halt(b, os.Kill)
	}
}

// tail returns the end of a log.
func tail(log []byte) string {
	const most = 6000
	return string(log[max(0, len(log)-most):])
}

// freePorts returns ports that nobody listens on now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // held until all ports are chosen
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
