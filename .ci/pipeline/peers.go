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

// Peers are clients and servers in other languages that integration tests run.
var (
	nodePeers   = []string{"ws@8.23.0", "@aws-sdk/client-s3@3.1175.0", "@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1", "protobufjs@7.6.6"}
	pythonPeers = []string{"websockets==17.4", "boto3==1.44.8", "moto[s3,server,sqs]==5.2.5", "grpcio==1.85.3", "grpcio-tools==1.85.1", "googleapis-common-protos==1.76.0"}
)

// peersHome installs the peers into .cache, unless they are there already, and
// gives the folder: node_modules for Node.js, python for PYTHONPATH. Its name
// carries a hash of what is installed.
func (p *Pipeline) peersHome(ctx context.Context) (string, error) {
	list := strings.Join(append(append([]string{}, nodePeers...), pythonPeers...), " ")
	home, err := filepath.Abs(filepath.Join(p.Root, ".cache", fmt.Sprintf("peers-%x", sha256.Sum256([]byte(list)))[:len("peers-")+12]))
	if err != nil {
		return "", fmt.Errorf("finding the folder for peers in other languages: %w", err)
	}
	if _, err := os.Stat(home); err == nil {
		return home, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("looking for peers in other languages: %w", err)
	}
	for _, name := range []string{"node", "npm", "python3"} {
		if _, err := exec.LookPath(name); err != nil {
			return "", fmt.Errorf("clients and servers of other languages are run here, which needs node, npm and python3 with pip; on Debian: apt-get install nodejs npm python3-pip: %w", err)
		}
	}
	// Into another folder first: an installation cut short must not look like a whole one.
	partial := home + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", fmt.Errorf("clearing an earlier installation of peers: %w", err)
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for peers in other languages: %w", err)
	}
	p.say("installing %s, once", list)
	for _, args := range [][]string{
		append([]string{"npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", partial}, nodePeers...),
		append([]string{"python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--target", filepath.Join(partial, "python")}, pythonPeers...),
	} {
		if err := (repo.Cmd{Dir: partial, Out: p.Out, Args: args}).Run(ctx); err != nil {
			return "", fmt.Errorf("installing peers in other languages: %w", err)
		}
	}
	if err := os.Rename(partial, home); err != nil {
		return "", fmt.Errorf("keeping the installed peers: %w", err)
	}
	return home, nil
}
