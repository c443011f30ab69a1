package pipeline

import (
	"encoding/xml"
	"testing"
)

func TestJavaPOM_namesTheProtocOfTheSystem(t *testing.T) {
	for _, c := range []struct{ system, arch, want string }{
		{"linux", "amd64", "linux-x86_64"},
		{"linux", "arm64", "linux-aarch_64"},
		{"darwin", "arm64", "osx-aarch_64"},
	} {
		t.Run(c.want, func(t *testing.T) {
			var pom struct {
				Dependencies []struct {
					Artifact   string `xml:"artifactId"`
					Classifier string `xml:"classifier"`
				} `xml:"dependencies>dependency"`
			}
			if err := xml.Unmarshal([]byte(javaPOM(c.system, c.arch)), &pom); err != nil {
				t.Fatal(err)
			}
			if n := len(pom.Dependencies); n != len(javaPeers)+1 {
				t.Fatalf("%d artifacts; want %d", n, len(javaPeers)+1)
			}
			if last := pom.Dependencies[len(javaPeers)]; last.Artifact != "protoc" || last.Classifier != c.want {
				t.Errorf("the last artifact is %s of %s; want protoc of %s", last.Artifact, last.Classifier, c.want)
			}
		})
	}
}
