module github.com/lsm/fiso

go 1.26.0

tool github.com/lsm/fiso/.ci/cmd/mage

require (
	github.com/magefile/mage v1.17.2
	golang.org/x/mod v0.42.0
)
