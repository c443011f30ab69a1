package calls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/lsm/fiso/e2e/internal/process"
)

// Candidates in the order of the report. direct is the upstream without a proxy.
const (
	fiso       = "fiso-link"
	nginx      = "nginx"
	library    = "ReverseProxy"
	floorProxy = "floor"
	direct     = "direct"
)

// candidate is the ports and files of one candidate.
type candidate struct {
	dir      string
	upstream addresses
	listen   string
	metrics  string
	rpc      bool
}

// command returns the command line and the environment of a candidate.
func (b *bench) command(name string, s candidate) (args, env []string, err error) {
	switch name {
	case fiso:
		file, err := s.write("link.yaml", s.linkConfig())
		return []string{b.fiso, "run", file}, []string{"BENCH_PROFILE=" + filepath.Join(b.opts.Profile, b.running)}, err
	case nginx:
		file, err := s.write("nginx.conf", s.nginxConfig())
		return []string{b.nginx, "-c", file, "-p", s.dir}, nil, err
	}
	j := proxyConfig{Kind: "reverse", Listen: s.listen, Upstream: s.upstream.HTTP, RPC: s.rpc}
	if name == floorProxy {
		j.Kind = "floor"
	}
	if s.rpc {
		j.Upstream = s.upstream.GRPC
	}
	text, err := json.Marshal(j)
	return []string{b.self, roleProxy, string(text)}, nil, err
}

func (s candidate) write(name, text string) (string, error) {
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return file, nil
}

// linkConfig is a typical configuration: a bearer token from a file, and all defaults: circuit
// breaker, retries, budget, metrics.
func (s candidate) linkConfig() string {
	protocol, host := "http", s.upstream.HTTP
	if s.rpc {
		protocol, host = "grpc", s.upstream.GRPC
	}
	return fmt.Sprintf(`listenAddr: %s
metricsAddr: %s
targets:
  - name: crm
    protocol: %s
    host: %s
    auth: {type: bearer, secretRef: {filePath: %s}}
    circuitBreaker: {enabled: true}
    retry: {maxAttempts: 3}
    maxConcurrent: 2048
`, s.listen, s.metrics, protocol, host, filepath.Join(s.dir, "token"))
}

// nginxConfig is the same for nginx: one worker per core, no access log, and keep-alive on both
// sides.
func (s candidate) nginxConfig() string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // otherwise its workers could not read the directory
	}
	listen, to, pass := "", s.upstream.HTTP, `proxy_pass http://crm/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $proxy_host;
      proxy_set_header Authorization "`+authorization+`";
      proxy_max_temp_file_size 0;`
	events := `location ~ ^` + prefix + `(/api/v2/(events|paced))$ {
      proxy_pass http://crm$1;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $proxy_host;
      proxy_set_header Authorization "` + authorization + `";
      proxy_buffering off;
    }`
	if s.rpc {
		listen, to, events = " http2", s.upstream.GRPC, ""
		pass = `rewrite ^` + prefix + `(/.*)$ $1 break;
      grpc_set_header Authorization "` + authorization + `";
      grpc_pass grpc://crm;`
	}
	return user + `daemon off;
worker_processes 2;
worker_rlimit_nofile 16384;
pid ` + s.dir + `/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ` + s.dir + `/body;
  proxy_temp_path ` + s.dir + `/proxy;
  fastcgi_temp_path ` + s.dir + `/fastcgi;
  uwsgi_temp_path ` + s.dir + `/uwsgi;
  scgi_temp_path ` + s.dir + `/scgi;
  keepalive_requests 1000000000;
  upstream crm { server ` + to + `; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen ` + s.listen + listen + ` backlog=4096;
    location ` + prefix + `/ {
      ` + pass + `
    }
    ` + events + `
  }
}
`
}

// findNginx returns the path of nginx, or "". Debian installs it where only root's PATH looks.
func findNginx() string {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// start starts a candidate and waits until it listens.
func (b *bench) start(ctx context.Context, name string, rpc bool) (s candidate, p *process.Process, err error) {
	s = candidate{upstream: b.upstream, rpc: rpc}
	if s.dir, err = os.MkdirTemp(b.dir, "candidate-"); err != nil {
		return s, nil, fmt.Errorf("create a directory: %w", err)
	}
	if _, err = s.write("token", token); err != nil {
		return s, nil, err
	}
	var err1, err2 error
	s.listen, err1 = process.FreeAddr(ctx)
	s.metrics, err2 = process.FreeAddr(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return s, nil, err
	}
	args, env, err := b.command(name, s)
	if err != nil {
		return s, nil, err
	}
	if p, err = process.Start(ctx, io.Discard, env, args...); err != nil {
		return s, nil, err
	}
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.listen)
		if err == nil {
			return s, p, c.Close()
		}
		select {
		case <-p.Ended():
			return s, nil, fmt.Errorf("%s ended: %w", name, p.Failure())
		case <-ctx.Done():
			p.Kill()
			return s, nil, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
