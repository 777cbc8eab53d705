import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.eclipse.jgit.api.Git;
import org.eclipse.jgit.api.MergeCommand.FastForwardMode;
import org.eclipse.jgit.api.errors.GitAPIException;
import org.eclipse.jgit.api.errors.TransportException;
import org.eclipse.jgit.internal.JGitText;
import org.eclipse.jgit.lib.Constants;
import org.eclipse.jgit.lib.Ref;
import org.eclipse.jgit.lib.Repository;
import org.eclipse.jgit.transport.CredentialsProvider;
import org.eclipse.jgit.transport.UsernamePasswordCredentialsProvider;
import org.eclipse.jgit.treewalk.TreeWalk;

/** Follows a repository with JGit. The command line that all these programs share: ../main.rs. */
public final class Follow {
    private static final int REFUSED = 3;
    private static final CredentialsProvider ACCESS = new UsernamePasswordCredentialsProvider(
            System.getenv("GANTRY_GIT_USERNAME"), System.getenv("GANTRY_GIT_TOKEN"));

    public static void main(String[] arguments) throws Exception {
        trust(System.getenv("GANTRY_GIT_CA"));
        try {
            follow(arguments);
        } catch (TransportException error) {
            error.printStackTrace();
            System.exit(error.getMessage().endsWith(JGitText.get().notAuthorized) ? REFUSED : 1);
        }
    }

    private static void follow(String[] arguments) throws GitAPIException, IOException {
        switch (arguments[0]) {
            case "list" -> list(arguments[1]);
            case "clone" -> cloneInto(arguments[1], arguments[2], arguments.length > 3 ? arguments[3] : null);
            case "fetch" -> fetch(arguments[1]);
            case "cat" -> cat(arguments[1], arguments[2]);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    /** JGit leaves certificates to Java, and Java reads no PEM file by itself. */
    private static void trust(String ca) throws GeneralSecurityException, IOException {
        KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (InputStream pem = new FileInputStream(ca)) {
            roots.setCertificateEntry("fleet", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());
    }

    private static void list(String url) throws GitAPIException {
        for (Ref ref : Git.lsRemoteRepository().setRemote(url).setCredentialsProvider(ACCESS).call()) {
            System.out.println(ref.getObjectId().name() + " " + ref.getName());
        }
    }

    private static void cloneInto(String url, String folder, String depth) throws GitAPIException {
        var command = Git.cloneRepository().setURI(url).setDirectory(new File(folder)).setCredentialsProvider(ACCESS);
        if (depth != null) {
            command.setDepth(Integer.parseInt(depth));
        }
        command.call().close();
    }

    private static void fetch(String folder) throws GitAPIException, IOException {
        try (Git git = Git.open(new File(folder))) {
            git.pull().setFastForward(FastForwardMode.FF_ONLY).setCredentialsProvider(ACCESS).call();
        }
    }

    private static void cat(String folder, String path) throws IOException {
        try (Git git = Git.open(new File(folder))) {
            Repository repository = git.getRepository();
            var tree = repository.parseCommit(repository.resolve(Constants.HEAD)).getTree();
            try (TreeWalk walk = TreeWalk.forPath(repository, path, tree)) {
                repository.open(walk.getObjectId(0)).copyTo(System.out);
            }
            System.out.flush();
        }
    }
}
