package http

func sinkConfig(url string) SinkConfig { return SinkConfig{URL: url} }

func sourceConfig() SourceConfig { return SourceConfig{Listen: "127.0.0.1:0"} }
