package grpc

import (
	"testing"

	format "github.com/cloudevents/sdk-go/binding/format/protobuf/v2"
	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"

	"github.com/lsm/fiso/common/cloudevent"
)

// orderEvent is an event as most are: 500 bytes of JSON and a few attributes.
func orderEvent() *cloudevent.Event {
	e := goldenEvents()["json"]
	data := append([]byte(`{"padding":"`), make([]byte, 486)...)
	for i := 12; i < len(data); i++ {
		data[i] = 'x'
	}
	e.Data = cloudevent.Bytes(append(data, `"}`...))
	return e
}

func orderMessage(b *testing.B) *pb.CloudEvent {
	out, err := protoOf(orderEvent())
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func BenchmarkEventOf(b *testing.B) {
	in := orderMessage(b)
	b.Run("fiso", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := eventOf(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := format.FromProto(in); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkProtoOf(b *testing.B) {
	e := orderEvent()
	theirs, err := format.FromProto(orderMessage(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fiso", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := protoOf(e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := format.ToProto(theirs); err != nil {
				b.Fatal(err)
			}
		}
	})
}
