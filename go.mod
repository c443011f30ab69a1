module github.com/lsm/fiso

go 1.26.0

tool github.com/magefile/mage

require github.com/magefile/mage v1.17.2
