module github.com/lsm/fiso/flow

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.10.1
	github.com/lsm/fiso/common v0.1.0
	go.uber.org/goleak v1.3.0
)

require golang.org/x/sys v0.13.0 // indirect
