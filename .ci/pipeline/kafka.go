package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// kafkaPOM lists the artifacts of the real Apache Kafka that tests run.
const kafkaPOM = "connectors/kafka/kafkatest/kafka-pom.xml"

// kafkaHome fetches a real Apache Kafka into .cache, unless it is there
// already, and gives the folder. The folder's name carries a hash of the list,
// so that another version is another folder.
func (p *Pipeline) kafkaHome(ctx context.Context, r *repo.Repo) (string, error) {
	pom, err := r.Read(kafkaPOM)
	if err != nil {
		return "", err
	}
	home := filepath.Join(p.Root, ".cache", fmt.Sprintf("kafka-%x", sha256.Sum256(pom))[:len("kafka-")+12])
	if home, err = filepath.Abs(home); err != nil {
		return "", fmt.Errorf("finding the folder for Apache Kafka: %w", err)
	}
	if err := needs("java", "mvn"); err != nil {
		return "", err
	}
	if _, err := os.Stat(home); err == nil {
		return home, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("looking for Apache Kafka: %w", err)
	}
	// Into another folder first: a fetch cut short must not look like a whole one.
	partial := home + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", fmt.Errorf("clearing an earlier fetch of Apache Kafka: %w", err)
	}
	p.say("fetching Apache Kafka, once")
	fetch := repo.Cmd{Dir: p.Root, Args: []string{"mvn", "-q", "-B", "-f", r.Abs(kafkaPOM), "dependency:copy-dependencies", "-DoutputDirectory=" + partial}}
	if err := fetch.Run(ctx); err != nil {
		return "", fmt.Errorf("fetching Apache Kafka: %w", err)
	}
	if err := os.Rename(partial, home); err != nil {
		return "", fmt.Errorf("keeping what was fetched of Apache Kafka: %w", err)
	}
	return home, nil
}

// debian names the package that brings a command.
var debian = map[string]string{"java": "openjdk-17-jre-headless", "mvn": "maven"}

// needs refuses to go on without the commands, and says how to get them.
func needs(commands ...string) error {
	var missing, packages []string
	for _, name := range commands {
		if _, err := exec.LookPath(name); err != nil {
			missing, packages = append(missing, name), append(packages, debian[name])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("a real Apache Kafka is run here, which needs %s; on Debian: apt-get install %s", strings.Join(missing, " and "), strings.Join(packages, " "))
}
