// Package version holds the version of this build.
package version

// Version is set by the linker (make build).
var Version = "unknown"
