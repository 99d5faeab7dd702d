# Homebrew's formula. What stands between two @ is filled in by render.py when a release is made, since a formula
# holds the sums of files that are built from the very commit it would be in.
class McpClient < Formula
  include Language::Python::Virtualenv

  desc "Run Model Context Protocol servers nobody has to trust"
  homepage "https://github.com/@REPOSITORY@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/@WHEEL@", using: :nounzip
    sha256 "@WHEEL_SHA256@"
    depends_on "python@3.13"
  end

  on_linux do
    on_intel do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/mcp-linux-amd64"
      sha256 "@LINUX_AMD64_SHA256@"
    end
    on_arm do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/mcp-linux-arm64"
      sha256 "@LINUX_ARM64_SHA256@"
    end
  end

  def install
    if OS.mac?
      # The dependencies come as wheels: Homebrew's own way, from source, would take a Rust compiler.
      virtualenv_create(libexec, "python3.13")
      system "python3.13", "-m", "pip", "--python=#{libexec}/bin/python", "install", "--only-binary=:all:", "@WHEEL@"
      bin.install_symlink libexec/"bin/mcp", libexec/"bin/mcp-client"
      man1.install_symlink Dir[libexec/"share/man/man1/*"]
    else
      bin.install Dir["mcp-linux-*"].first => "mcp"
      bin.install_symlink bin/"mcp" => "mcp-client"
    end
    generate_completions_from_executable(bin/"mcp", "completion")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mcp --version")
    assert_match "acme/hello-world", shell_output("#{bin}/mcp info acme/hello-world@1.2.3")
  end
end
