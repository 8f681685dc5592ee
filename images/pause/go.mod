// The sandbox container of every pod.
module magalu.cloud/mke/images/pause

go 1.26
