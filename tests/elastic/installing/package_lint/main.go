// package_lint checks an integration package, a folder or a .zip, against Elastic's public package-spec.
//
//	go run . PATH
//
// Exit status 1 and the list of faults where there are any.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/elastic/package-spec/v3/code/go/pkg/validator"
)

func main() {
	if err := lint(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("no fault")
}

func lint(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("usage: package_lint PATH")
	}
	if path := arguments[0]; strings.HasSuffix(path, ".zip") {
		return validator.ValidateFromZip(path)
	} else {
		return validator.ValidateFromPath(path)
	}
}
