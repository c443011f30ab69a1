module github.com/lsm/fiso/flow

go 1.26.0

require (
	github.com/lsm/fiso/common v0.1.0
	github.com/lsm/fiso/connectors/http v0.1.0
	github.com/lsm/fiso/connectors/kafka v0.1.0
)
