package e2e

import "testing"

// TestStories tells them one after another on one cluster: the machine is small,
// and the last one looks at what the others left in the audit log.
func TestStories(t *testing.T) {
	t.Run("one chart and one file make a pipeline that runs", oneChartAndOneFile)
	t.Run("a change touches the children that read it, and no other", changesTouchOnlyWhatReadsThem)
	t.Run("what is deleted or edited by hand comes back, and what is someone's stays", driftIsUndone)
	t.Run("an author names only secrets that they may read", authorsNameOnlyWhatTheyMayRead)
	t.Run("suspend, pause and run-now do what they say", operatorsHandsOn)
	t.Run("a rotated secret reaches who reads it, and nobody else", secretsRotate)
	t.Run("deletion keeps or takes what the policy says", deletionKeepsItsWord)
	t.Run("an upgrade restarts no worker", upgradesRestartNoWorker)
	t.Run("a second install on the namespace waits, and names the first", secondInstallNamesTheFirst)
	t.Run("missed runs are made up for, each once", missedRunsAreMadeUpFor)
	t.Run("operators, API server and kubelet may fail", failuresAreOutlived)
	t.Run("the operator asks for nothing that it may not have, and has no right that it does not use", rightsAreUsed)
}
