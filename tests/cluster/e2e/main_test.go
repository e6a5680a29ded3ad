package e2e

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := takeDown(code != 0); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}
