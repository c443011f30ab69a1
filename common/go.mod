module github.com/lsm/fiso/common

go 1.26.0
