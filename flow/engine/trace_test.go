package engine

import (
	_ "go.opentelemetry.io/otel/sdk/trace/tracetest"
)
