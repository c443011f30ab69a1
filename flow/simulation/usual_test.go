//go:build synctests && !race

package simulation

// usualSeeds take about a minute on two cores.
const usualSeeds = 200
