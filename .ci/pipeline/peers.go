package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// Peers are clients and servers in other languages that integration tests run.
var (
	nodePeers   = []string{"ws@8.23.0", "@aws-sdk/client-s3@3.1175.0", "@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1", "protobufjs@7.6.6"}
	pythonPeers = []string{"websockets==17.4", "boto3==1.44.8", "moto[s3,server,sqs]==5.2.5", "grpcio==1.85.3", "grpcio-tools==1.85.1", "googleapis-common-protos==1.76.0"}
	javaPeers   = []string{"io.grpc:grpc-netty-shaded:1.85.0", "io.grpc:grpc-protobuf:1.85.0", "io.grpc:grpc-stub:1.85.0", "com.google.protobuf:protobuf-java:4.36.2"}
)

// javaProtoc is the version of the program that generates the Java code of a protocol.
const javaProtoc = "4.36.2"

// peersHome installs the peers into .cache, unless they are there already, and
// gives the folder: node_modules for Node.js, python for PYTHONPATH, java for the
// class path, with protoc in it. Its name carries a hash of what is installed.
func (p *Pipeline) peersHome(ctx context.Context) (string, error) {
	list := strings.Join(append(slices.Concat(nodePeers, pythonPeers, javaPeers), "protoc:"+javaProtoc), " ")
	home, err := filepath.Abs(filepath.Join(p.Root, ".cache", fmt.Sprintf("peers-%x", sha256.Sum256([]byte(list)))[:len("peers-")+12]))
	if err != nil {
		return "", fmt.Errorf("finding the folder for peers in other languages: %w", err)
	}
	if _, err := os.Stat(home); err == nil {
		return home, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("looking for peers in other languages: %w", err)
	}
	for _, name := range []string{"node", "npm", "python3", "mvn", "javac"} {
		if _, err := exec.LookPath(name); err != nil {
			return "", fmt.Errorf("clients and servers of other languages are run here, which needs node, npm, python3 with pip, mvn and javac; on Debian: apt-get install nodejs npm python3-pip maven openjdk-17-jdk-headless: %w", err)
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
	pom := filepath.Join(partial, "pom.xml")
	if err := os.WriteFile(pom, []byte(javaPOM(runtime.GOOS, runtime.GOARCH)), 0o600); err != nil {
		return "", fmt.Errorf("writing the list of peers in Java: %w", err)
	}
	for _, args := range [][]string{
		append([]string{"npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", partial}, nodePeers...),
		{"mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory=" + filepath.Join(partial, "java")},
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

// javaPOM lists for Maven what peers in Java need on a system.
func javaPOM(system, arch string) string {
	if system == "darwin" {
		system = "osx"
	}
	switch arch {
	case "amd64":
		arch = "x86_64"
	case "arm64":
		arch = "aarch_64"
	}
	var b strings.Builder
	b.WriteString(`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>` +
		`<groupId>io.fiso</groupId><artifactId>peers</artifactId><version>1</version><packaging>pom</packaging><dependencies>`)
	for _, peer := range javaPeers {
		part := strings.Split(peer, ":")
		fmt.Fprintf(&b, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>", part[0], part[1], part[2])
	}
	fmt.Fprintf(&b, "<dependency><groupId>com.google.protobuf</groupId><artifactId>protoc</artifactId><version>%s</version>"+
		"<type>exe</type><classifier>%s-%s</classifier></dependency></dependencies></project>\n", javaProtoc, system, arch)
	return b.String()
}
