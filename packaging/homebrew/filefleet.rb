# The formula of a tap. The release fills in the two addresses and sums.
class Filefleet < Formula
  desc "Send files from one computer to another: direct, verified, end-to-end encrypted"
  homepage "https://RELEASE_HOST/filefleet"
  url "https://RELEASE_HOST/filefleet/archive/v0.1.0.tar.gz"
  sha256 "RELEASE_SHA256"
  license "GPL-3.0-or-later"

  depends_on "cmake" => :build
  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args(path: "daemon")
    system "cargo", "install", *std_cargo_args(path: "ctl")
    system "cargo", "install", *std_cargo_args(path: "tray")
    system "cargo", "install", *std_cargo_args(path: "server")
    generate_completions_from_executable(bin/"ffctl", "completions")
    system bin/"ffctl", "man", "--dir", man1
    man1.install "packaging/linux/man/filefleetd.1"
    pkgshare.install "packaging/macos/Send with FileFleet.workflow"
  end

  # "brew services start filefleet"; "ffctl service install" does the same without brew.
  service do
    run [opt_bin/"filefleetd", "--log-to-file"]
    keep_alive successful_exit: false
  end

  def caveats
    <<~EOS
      "Send with FileFleet" in the Finder's menu:
        cp -R "#{opt_pkgshare}/Send with FileFleet.workflow" ~/Library/Services/
    EOS
  end

  test do
    ENV["FILEFLEET_HOME"] = testpath/"home"
    assert_match "filefleetd", shell_output("#{bin}/ffctl daemon start")
    assert_match "not registered", shell_output("#{bin}/ffctl status")
    system bin/"ffctl", "daemon", "stop"
  end
end
