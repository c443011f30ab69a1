module github.com/lsm/fiso/link

go 1.26.0

require (
	github.com/lsm/fiso/common v0.1.0
	github.com/miekg/dns v1.1.73
	go.uber.org/goleak v1.3.0
	golang.org/x/time v0.16.0
)
