//go:build integration

package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// UL17: what the AWS SDKs upload through fiso-link is what the store has, byte for
// byte. UL6: every signature equals the one that AWS's own library makes of the call as
// it arrived, and a path with unescaped characters names the same object.
func TestRealSDKs_uploadToS3AndSendToSQSByteForByte(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "id": "AKIDEXAMPLE"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := servedBy(t, "aws_server.py")
	auth := func(service string) string {
		return fmt.Sprintf(", auth: {type: sigv4, region: us-east-1, service: %s, secretRef: {filePath: %s/secret}, accessKeyRef: {filePath: %s/id}}", service, dir, dir)
	}
	l := start(t, "targets:\n"+aTarget("s3", address, auth("s3"))+aTarget("sqs", address, auth("sqs")))
	for _, client := range []string{"aws_client.py", "aws-client.js"} {
		t.Run(client, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if out, err := foreign(ctx, t, client, "http://"+l.calls+"/link").CombinedOutput(); err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "ok") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	if status, body := l.call("s3/javascript/a=b:c@d(e)+f,g!h*i&j$k'l"); status != 200 || len(body) != 300000 {
		t.Errorf("a path in plain characters: %d, %d bytes: %.200s", status, len(body), body)
	}
}
