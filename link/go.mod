module github.com/lsm/fiso/link

go 1.26.0

require github.com/lsm/fiso/common v0.1.0
