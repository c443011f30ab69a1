package calls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// proxyConfig configures a proxy that is part of the benchmark.
type proxyConfig struct {
	Kind     string // reverse or floor
	Listen   string
	Upstream string
	RPC      bool // HTTP/2 without TLS, on both sides
}

// proxy runs a proxy until ctx ends.
func proxy(ctx context.Context, j proxyConfig) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", j.Listen)
	if err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	if j.Kind == "floor" {
		return floor(ctx, l, j.Upstream)
	}
	return reverse(ctx, l, j)
}

// reverse is the reverse proxy of the Go library as in its documentation, with enough idle
// connections.
func reverse(ctx context.Context, l net.Listener, j proxyConfig) error {
	to := &url.URL{Scheme: "http", Host: j.Upstream}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!j.RPC)
	protocols.SetUnencryptedHTTP2(j.RPC)
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, prefix)
			r.SetURL(to)
			r.Out.Header.Set("Authorization", authorization)
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 2048, MaxIdleConns: 2048, DisableCompression: true, Protocols: protocols},
	}
	if j.RPC {
		p.FlushInterval = -1
	}
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, Protocols: protocols}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("reverse proxy: %w", err)
	}
	return nil
}

// floor is the minimal Go proxy: fasthttp on both sides, one header set, and no checks, limits or
// metrics.
func floor(ctx context.Context, l net.Listener, to string) error {
	client := &fasthttp.HostClient{Addr: to, MaxConns: 4096, MaxIdemponentCallAttempts: 1, DisableHeaderNamesNormalizing: true, NoDefaultUserAgentHeader: true}
	stream := &fasthttp.HostClient{Addr: to, MaxConns: 4096, MaxIdemponentCallAttempts: 1, StreamResponseBody: true}
	srv := &fasthttp.Server{NoDefaultServerHeader: true, NoDefaultDate: true, DisableHeaderNamesNormalizing: true}
	srv.Handler = func(c *fasthttp.RequestCtx) {
		path := strings.TrimPrefix(string(c.Request.RequestURI()), prefix)
		c.Request.SetRequestURI(path)
		c.Request.SetHost(to)
		c.Request.Header.Set("Authorization", authorization)
		by := client
		if path == "/api/v2/events" || path == "/api/v2/paced" {
			by = stream
		}
		if err := by.Do(&c.Request, &c.Response); err != nil {
			c.Error(err.Error(), fasthttp.StatusBadGateway)
			return
		}
		c.Response.ImmediateHeaderFlush = by == stream
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	if err := srv.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("floor: %w", err)
	}
	return nil
}
