/** Runs known methods until it is killed. */
public class Known {
    static double leafWork(int count) {
        double sum = 0;
        for (int i = 0; i < count; i++) sum += Math.sqrt(i) % 7;
        return sum;
    }

    static double handle() {
        return leafWork(20000) + leafWork(30000);
    }

    public static void main(String[] arguments) {
        long began = System.nanoTime();
        boolean told = false;
        for (double sum = 0;; sum += handle()) {
            // By now it is compiled.
            if (!told && System.nanoTime() - began > 1_000_000_000L) {
                told = true;
                System.out.println("ready");
            }
        }
    }
}
