package http

import "time"

func sinkConfig(url string) SinkConfig {
	return SinkConfig{URL: url, Method: "POST", Mode: ModeStructured, Auth: SinkAuth{Type: "none"},
		Timeout: 30 * time.Second, ConnectTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second,
		MaxAge: 5 * time.Minute, MaxConnections: 256}
}

func sourceConfig() SourceConfig {
	return SourceConfig{Listen: "127.0.0.1:0", Path: "/", Auth: SourceAuth{Type: "none", Tolerance: 5 * time.Minute},
		MaxBodyBytes: 1 << 20, MaxBatchEvents: 1000, MaxRequests: 1024, AnswerTimeout: 60 * time.Second,
		ReadTimeout: 30 * time.Second, HeaderTimeout: 10 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10}
}
