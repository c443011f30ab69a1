package calls

// Kinds of scenarios.
const (
	plain  = "calls"
	stream = "events"
	rpc    = "gRPC"
	idle   = "idle"
)

// Scenario is one kind of load.
type Scenario struct {
	Name, Title string
	Kind        string
	Path        string
	Conns       int
	Size, Post  int // size of the response and request body in bytes
}

// Scenarios are all scenarios in the order of the report.
var Scenarios = []Scenario{
	{Name: "small-64", Title: "GET 1 KB, 64 connections", Kind: plain, Path: "/api/v2/small", Conns: 64, Size: 1 << 10},
	{Name: "small-1", Title: "GET 1 KB, 1 connection", Kind: plain, Path: "/api/v2/small", Conns: 1, Size: 1 << 10},
	{Name: "large-64", Title: "GET 100 KB, 64 connections", Kind: plain, Path: "/api/v2/large", Conns: 64, Size: 100 << 10},
	{Name: "large-1", Title: "GET 100 KB, 1 connection", Kind: plain, Path: "/api/v2/large", Conns: 1, Size: 100 << 10},
	{Name: "post-64", Title: "POST 1 KB, 64 connections", Kind: plain, Path: "/api/v2/small", Conns: 64, Size: 1 << 10, Post: 1 << 10},
	{Name: "post-1", Title: "POST 1 KB, 1 connection", Kind: plain, Path: "/api/v2/small", Conns: 1, Size: 1 << 10, Post: 1 << 10},
	{Name: "events", Title: "64 streams of events, as fast as it goes", Kind: stream, Path: "/api/v2/events", Conns: 64},
	{Name: "paced", Title: "64 streams of 100 events a second", Kind: stream, Path: "/api/v2/paced", Conns: 64},
	{Name: "grpc-64", Title: "gRPC 1 KB, 64 calls at once", Kind: rpc, Conns: 64, Size: 1 << 10},
	{Name: "grpc-1", Title: "gRPC 1 KB, 1 call at once", Kind: rpc, Conns: 1, Size: 1 << 10},
	{Name: "idle", Title: "1,000 idle connections", Kind: idle, Path: "/api/v2/small", Conns: 1000, Size: 1 << 10},
}

// candidates returns the candidates of the scenario. There is no floor for HTTP/2, which
// fasthttp does not support.
func (s Scenario) candidates() []string {
	switch s.Kind {
	case rpc:
		return []string{fiso, nginx, library, direct}
	case idle:
		return []string{fiso, nginx, library, floorProxy}
	}
	return []string{fiso, nginx, library, floorProxy, direct}
}
