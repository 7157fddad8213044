module github.com/securelink-chat/securelink

go 1.26
