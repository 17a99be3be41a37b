Fabfiles in the classic style and in that of Fabric 3, side by side; plugins by entry points, with the hooks `check`, `stop`, `start` and `health`.
