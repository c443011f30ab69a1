// Package admin is the server on the metrics port of every Fiso process:
//
//	GET /healthz   200 while the process is alive
//	GET /readyz    200 or 503; ?verbose says why, &output=json for programs
//	GET /metrics   Prometheus
//
// Other components add pages with Handle.
//
//	s, err := admin.New(admin.Options{Addr: ":9090", Registry: registry, Ready: supervisor.Report, Logger: log})
//	if err != nil { … }        // the port is in use
//	err = s.Run(ctx)           // until ctx ends
//
// The listener has timeouts and limits and refuses request bodies. Callers that hold
// connections cannot keep a probe out. On a loopback address the server also refuses
// requests that a web page in the user's browser could send: see refuseWebPages.
package admin
