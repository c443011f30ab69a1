//go:build synctests && !race

package simulation

// defaultSeeds take about a minute on two cores.
const defaultSeeds = 200
