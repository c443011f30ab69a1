package credential

import (
	"testing"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/spec"
)

// BenchmarkApply measures what a credential costs each attempt, on 64 connections.
func BenchmarkApply(b *testing.B) {
	ref := &spec.SecretRef{EnvVar: "TOKEN"}
	for _, auth := range []spec.Auth{
		{Type: "bearer", SecretRef: ref}, {Type: "apiKey", Query: "key", SecretRef: ref},
		{Type: "sigv4", Region: "us-east-1", Service: "execute-api", SecretRef: ref, AccessKeyRef: ref},
	} {
		b.Run(auth.Type, func(b *testing.B) {
			c, err := New(&auth, new(watch).parts(nil))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.ReportAllocs()
			b.SetParallelism(32) // on two cores
			b.RunParallel(func(pb *testing.PB) {
				out := &http1.Outgoing{Method: "GET", Path: "/p", Host: "api.example.com", Header: make(http1.Header, 0, 8)}
				for pb.Next() {
					out.Header, out.Query = out.Header[:0], "a=1&b=2"
					if err := c.Apply(b.Context(), out); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
