// Package cmd has the commands below it, and a test that holds the import rules of the whole tree.
package cmd
